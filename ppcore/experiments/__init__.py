"""What are the models good for? For notebooks 11 to 14. Imports metrics, methods, training, masks, study.

    utility   is synthetic data worth training on?    nuisance  what happens to an image between laboratories
    variants  other seeds, other recipes              speed     times compared with a textbook's
    settings  its parameters
"""
