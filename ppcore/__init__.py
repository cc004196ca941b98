"""PriorPath, the open study: coarse outline of tissue -> fine tissue mask -> histology image.

The notebooks import these modules; a lower floor knows nothing of a higher one:

    6  run, notebooks                        how is the study run?
    5  figures                               how is it shown?
    4  metrics/                              how good is it?
    3  training/                             how is it trained?
    2  networks/, losses                     what is the model?
    1  slides, phantom, masks, patches       where do images and masks come from, and where do they lie?
    0  settings, cohorts, files, code        what is a run? which cohort is it? how is a file written? by which code?
"""
