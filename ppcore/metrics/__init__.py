"""How good is it? Each file answers one part, and takes what is real first, what is synthetic second.

    distribution   do the masks hold as much tissue as real ones?    KS, KL, intervals over subjects
    morphometry    do they have the shapes of real ones?             27 descriptors, MMD, Wasserstein-1
    frechet        does Inception-v3 see them alike?                 FID, KID
    cells          do they hold in every region?                     the same by regions of the masks' space
    control        does the output keep to the outline?              IoU, boundary F1, diversity
    table          how does each method score?                       all of it as tidy rows; Table 2
    paper          what did the paper report?                        its Table 2, beside ours
    seams          do the windows of a filled canvas show?           edges across and beside their ends, permutation

`frechet` alone takes the generated set first, as torch-fidelity does.
"""
