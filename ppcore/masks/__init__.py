"""What is a mask, and how is a coarse one made? For notebooks 01 to 03. Imports study.

    make      fine masks by threshold, coarse ones by morphology    patches   patches on disk and as network inputs
    labels    maps of several classes                               stain     made from the stain
    shapes    27 descriptors of a mask                              kinds     K-means
    sketches  drawings as masks                                     colours   drawings in the classes' colours
    labelme   Labelme files
    simulate  simulated sketches                                    made      masks and images made by a model
    regions   drawn outlines to label maps, and back                label_files  any of the next, or a PNG
    geojson   QuPath's files                                        annotation_xml  those of ASAP and ImageScope
    documents  JSON and XML of other programs                       stain_cut  what tells nuclei from tissue
    specks    objects too small for their class             settings  its parameters
"""
