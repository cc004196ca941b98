"""What are the models good for? For notebooks 11 to 15 and `./run_all.sh gpu`.
Imports metrics, methods, slides, training, masks, networks, study.

    utility   is synthetic data worth training on?    nuisance  what happens to an image between laboratories
    variants  other seeds, other recipes              speed     times compared with a textbook's
    textbook  its steps                               gpu       is a GPU right, how fast, and how good?
    ingredients  parts of the noise GAN, and quality against minutes
    settings  its parameters
"""
