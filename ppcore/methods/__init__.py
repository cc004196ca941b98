"""Which methods are there, and what does each minimise? For notebooks 04 to 06 and 11: what a reader edits.
Imports training, masks, networks.

One file a method, and beside them:

    table       a row for each method, from which all other rooms take it
    losses      the equations
    sampling    how a trained generator draws
    segmenter   image to mask, for notebook 11
    image_pool  what CycleGAN's discriminators remember
    settings    their parameters
"""
