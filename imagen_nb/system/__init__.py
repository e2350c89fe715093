"""What knows nothing of pictures' records: files, processes, terminals, pages, imports.

Other rooms use:
    atomic: files that are whole or not there
    clock: time, which tests pass as they like
    csv_text: CSV without formulas
    file_cache: a folder of files of which the least recently used are removed
    forks: what makes objects with locks and threads usable in a forked child
    idle_gate: when work in the background may go on
    import_hooks: what to do once a module is imported, and what other finders find
    installed: what this package asks for, and what of it is installed
    kernels: whether a Jupyter kernel is installed, and what it runs
    leases: who holds what, also after a crash
    locks: which process has locked a file
    markup: untrusted text as HTML
    paths: paths as people write them
    plugins: what other packages add by entry points
    progress: progress bars
    restartable: a thread that is started and stopped again and again
    secret_text: secrets, stripped and kept out of messages
    spelling: the known name that was probably meant
    terminal: notices, tables, pictures and a spinner on a terminal
    theme: whether the notebook is dark
    throttling: servers that are busy
    thumbnails: small pictures, contact sheets, text in pictures
    yaml_text: YAML of others
"""
