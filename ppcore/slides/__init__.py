"""Where do patches come from? For notebooks 01 and 14. Imports masks, study.

    cohorts   which cohort, where          tcga      the paper's H&E cohorts, downloaded
    folder    its slides and fields        subjects  whose they are
    phantom   synthetic slides             tissue    the tissue drawn on them
    read      slides and fields as images  tags      what a TIFF says of its pixels
    scale     how large a pixel is         grid      places worth reading
    cut       patches on disk              split     training and test, by subject
    own_labels  the user's labels          pyramid   an image stored as a slide
    workers   many machines                settings  its parameters
"""
