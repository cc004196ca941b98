"""How good is it? For notebook 08. Imports methods (their table), slides, masks, study.

Each file answers one part, and takes what is real first, what is synthetic second.

    distribution   do the masks hold as much tissue as real ones?    KS, KL, intervals over subjects
    morphometry    do they have the shapes of real ones?             27 descriptors, MMD, Wasserstein-1
    frechet        does Inception-v3 see them alike?                 FID, KID
    coverage       are all kinds of real mask there?                 density, coverage, occupancy of cells
    cells          do they hold in every region of masks' space?     MMD by cell of a t-SNE grid and of K-means
    copying        are they copies of training masks?                nearest-train ratio, C_T
    control        does the output keep to the outline?              IoU, boundary F1, tissue fraction, diversity
    image          do the images have real colours and detail?       10 descriptors
    quality        are the patches of a cohort sound?               train against test, threshold, stain

`sets` holds the masks that are compared, `rows` makes metrics.csv of it all, `table` makes Table 2 of that, `findings`
puts it into words, and `paper` holds the paper's own numbers. `settings` has the parameters.
`frechet` alone takes the generated set first, as torch-fidelity does.
"""
