"""How is the study run? For `./run_all.sh`: all notebooks, in order. May import every other room.

    snakemake   runs what is needed            notebooks   what a notebook declares, and its execution
    settings    all parameters                 parameters  those given on the command line
    cells       parameters cells               record      run.json
    results     tables as Markdown             usefulness  those of notebook 11
    readme      README.md, figures/README.md   checks      `./run_all.sh test`
    surroundings  the same for whoever starts a run
"""
