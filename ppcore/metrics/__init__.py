"""How good are the generated masks and images? For notebook 08. Imports methods (their table), slides, masks, study.

Each file answers one question. Functions take the real set first and the synthetic set second.

    distribution   do the masks hold as much tissue as real ones?    KS, KL, intervals over subjects
    morphometry    do they have the shapes of real ones?             27 descriptors a class, MMD, Wasserstein-1
    objects        are there as many nuclei, as large, as far apart? number, area, nearest distances
    frechet        do they look alike to Inception-v3?               FID, KID
    perception     do they look alike to a network of photographs?   kd, fd
    repetition     do textures repeat like wallpaper?                autocorrelation
    coverage       are all kinds of real mask represented?           density, coverage, occupancy of cells
    cells          are they alike in every region of mask space?     MMD by cell of a t-SNE grid and of K-means
    copying        are they copies of training masks?                nearest-train ratio, C_T
    windows        are pieces of them copies?                        the same, of 64 px; of images too
    control        does the output keep to the outline?              IoU, boundary F1, tissue fraction, diversity
    image          do the images have real colours and detail?       10 descriptors, colour of air, diversity
    agreement      do labels from the stain agree with an expert's?  Dice, precision, recall, F1 of nuclei
    quality        are the patches of a cohort sound?               train against test, threshold, stain

`sets` holds the masks to compare, `rows` and `image_rows` compute metrics.csv, whose rows `tidy` makes, `table` makes
Table 2 from it, `findings` puts it into words, and `paper` holds the paper's own numbers. `settings` has the
parameters.
Only `frechet` takes the generated set first, as torch-fidelity does.
"""
