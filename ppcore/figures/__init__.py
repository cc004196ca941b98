"""How are results shown? For all notebooks. Imports metrics, methods, slides, masks, study.

    style    the look, and grids of pictures     cohort       notebooks 01 and 02
    kinds    notebook 03                         models       notebooks 04 to 08, 10
    paper    the paper's figures                 summary      what the paper lacks, and a one-page summary
    experiments   notebooks 11 to 14
"""
