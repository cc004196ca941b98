"""How is a method trained? For notebooks 04 to 06, 11 and 12: the engine, the same for all. Imports study.

    loop        from the first step to the last, through every interruption
    options     what it may be told                    resume      does a run go on, or begin anew?
    method      what it asks of a method               checkpoint  what survives a kill
    order       in which order the data come           log         log.csv
    ema         running mean of the weights            precision   bfloat16 or float32
    ranks       several processes                      launch      how they start
    model_card  what a finished run leaves             settings    its parameters
"""
