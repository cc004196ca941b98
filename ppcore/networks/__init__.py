"""What do the networks compute? For notebooks 04 to 07 and 11: one architecture per file. Imports no other room.

    unet        generator of pix2pix                   dcgan    generator and discriminator of DCGAN
    resnet      generators of CycleGAN and pix2pixHD   depas    generator of DEPAS
    patchgan    discriminators                         vgg      features for pix2pixHD's matching
    plain_unet  the segmenter                          noise    z, drawn before the forward pass
    noise_unet  both networks of the noise GAN         bernoulli_unet  the diffusion's
    painter     generator of the noise image model
    layers      what they share
"""
