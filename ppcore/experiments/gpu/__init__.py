"""What does a GPU make of the study? `./run_all.sh gpu`: is it right, how fast, and how good after how many minutes?

    script  the parts in order, and the table      bench     what is measured, and the clock
    right   results beside the CPU's               resumed   is a killed training the unbroken one?
    fast    times beside a textbook's              floors    what a step cannot do without
    faster  torch.compile and CUDA graphs          good      quality against minutes
    measured  the masks and images of a training   patches   what it is trained on
    needs   the packages that it cannot do without
"""
