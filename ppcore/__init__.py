"""PriorPath, the open study: coarse outline of tissue -> fine tissue mask -> histology image.

One room a chapter. A room imports from lower floors alone; `ppcore/tests/test_floors.py` holds it.

    8  run           the command line
    7  workflow      how is the study run?
    6  drawing       what do the models make of an outline of yours?
    5  figures       how is it shown?          experiments   what do the models serve?
    4  metrics       how good is it?
    3  methods       what is minimised?        slides        where do patches come from?
    2  training      how is it trained?        masks         what is a mask?
    1  study         what is a run?            networks      what is computed?
"""
