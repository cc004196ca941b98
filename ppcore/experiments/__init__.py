"""What are the models good for? For notebooks 11 to 15. Imports metrics, methods, training, masks, study.

    utility   is synthetic data worth training on?    nuisance  what happens to an image between laboratories
    variants  other seeds, other recipes              speed     times compared with a textbook's
    ingredients  parts of the noise GAN, and quality against minutes
    settings  its parameters
"""
