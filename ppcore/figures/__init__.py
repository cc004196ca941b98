"""How is it shown? For all notebooks. Imports metrics, methods, slides, masks, study.

    style    the look, and grids of pictures     cohort       notebook 01 and 02
    kinds    notebook 03                         models       notebooks 04 to 08, 10
    paper    the paper's figures                 summary      what the paper lacks, and one page of all
    experiments   notebooks 11 to 14
"""
