"""Which methods are there, and what does each minimise? For notebooks 04 to 07 and 11: the part that readers edit.
Imports training, masks, networks, study.

One file per method, and:

    table       one row per method, read by all other rooms
    losses      the equations
    classes     one channel for two classes, else one a class
    texture     what an outline leaves open, and who lends it
    colours     the same for an image
    crops       what part of a patch a step sees
    sampling    how a trained generator makes an image
    along       one thing changes, all else is fixed
    segmenter   image to mask, for notebook 11
    image_pool  older images for CycleGAN's discriminators
    settings    their parameters
"""
