"""What do the networks compute? For notebooks 04 to 06 and 11: one architecture a file. Imports no other room.

    unet        generator of pix2pix                   dcgan    generator and discriminator of DCGAN
    resnet      generators of CycleGAN and pix2pixHD   depas    generator of DEPAS
    patchgan    discriminators                         vgg      features that pix2pixHD may match
    plain_unet  the segmenter                          noise    z, drawn before the forward
    layers      what they share
"""
