"""What are the models good for? For notebooks 11 to 16 and `./run_all.sh gpu`.
Imports metrics, methods, slides, training, masks, networks, study.

    utility   given n labelled patches, do pairs made from these alone help?
    few       what can be made of a few patches       windows   what a segmenter sees in a step
    nuisance  what happens between laboratories       stress    where does a segmenter fail?
    variants  other seeds, other recipes              speed     times compared with a textbook's
    textbook  its steps                               gpu       is a GPU right, how fast, and how good?
    ingredients        parts of the noise GAN, and quality against minutes
    image_ingredients  the same of the noise image model
    settings  its parameters
"""
