"""What do the models make of your own outline? For notebook 10, the page, and sets of pairs.
Imports figures, slides, methods, training, masks, networks, study.

    answer   sketch to fine mask to image     canvas   larger than a patch
    models   which models answer, and choices
    page     the drawing page                 seams    do the windows show?
    page_html  what the page shows            pairs    data sets of outline, mask and image
    stored   saved drawings                   settings its parameters
    proxies  hidden from the page's server    export   sets for QuPath
    looks    stains to choose from            desk     what the page's buttons do
    axis     one thing changes, all else is fixed
"""
