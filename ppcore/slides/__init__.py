"""Where do patches come from? For notebooks 01 and 14. Imports masks, study.

    cohorts   which files and subjects       tcga      the paper's H&E cohorts, downloaded
    phantom   synthetic slides               tissue    the tissue drawn on them
    read      slides and fields as images    grid      places worth reading
    cut       patches on disk                split     training and test, by subject
    workers   many machines                  settings  its parameters
"""
