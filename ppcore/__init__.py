"""PriorPath, the open study: coarse outline of tissue -> fine tissue mask -> histology image.

Each subpackage ("room") is one chapter. A room imports only from lower floors; `ppcore/tests/test_floors.py` checks it.

    8  run           the command line
    7  workflow      how is the study run?
    6  drawing       what do the models make of your outline?
    5  figures       how is it shown?          experiments   what are the models good for?
    4  metrics       how good is it?
    3  methods       what is minimised?        slides        where do patches come from?
    2  training      how is it trained?        masks         what is a mask?
    1  study         what is a run?            networks      what is computed?
"""
