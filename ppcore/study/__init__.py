"""What is a run? For every chapter: seeds, folders, files, errors and hashes. Imports no other room.

    runs          where it reads and writes; device, machine, commit
    settings      parameters shared by all notebooks (each room has its own; `workflow.settings` has them all)
    seeds         where random draws come from
    errors        errors and warnings for the user
    files         atomic writes
    hashes        whether a file has changed
    fingerprint   which code produced a result
    interrupt     Ctrl-C, and helper processes that end with their parent
"""
