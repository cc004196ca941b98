"""Which methods are there, and what does each minimise? For notebooks 04 to 06 and 11: what a reader edits.
Imports training, masks, networks.

    table      a row for each method, from which all others take it
    pix2pix, cyclegan   outline to fine mask       dcgan, depas   noise to fine mask
    pix2pixhd           mask to image              segmenter      image to mask
    losses     the equations                       sampling       how a trained generator draws
    image_pool what CycleGAN's discriminators remember            settings   their parameters
"""
