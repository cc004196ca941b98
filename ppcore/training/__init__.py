"""How is a method trained? For notebooks 04 to 06, 11 and 12: one engine for all methods. Imports study.

    loop        from the first step to the last, across interruptions
    options     what the user can set                  resume      does a run continue or start anew?
    method      what a method must provide             checkpoint  what survives a kill
    order       the order of the data                  log         log.csv
    ema         running mean of the weights            precision   bfloat16 or float32
    ranks       several processes                      launch      how they start
    model_card  what a finished run leaves             settings    its parameters
"""
