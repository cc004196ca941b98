"""What is a run? For every chapter: its seeds, folders, files, errors, and what its code is known by. Imports no other room.

    runs          where it reads and stores; device, machine, commit
    settings      the parameters that every notebook shares (each room holds its own; `workflow.settings` has them all)
    seeds         where random draws come from
    errors        what a person is told
    files         files that are never half written
    fingerprint   which code made a result
    interrupt     Ctrl-C, and helpers that end with their owner
"""
