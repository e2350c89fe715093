"""Settings: arguments over environment over imagen.yaml over defaults.

Other rooms use:
    certificate: a key and a certificate of one's own, to sign pictures with
    groups: `CostSettings` and the other groups of settings
    older_names: `older_names_in`, keys of a file that have another name today
    presets: `DrawingPreset`, settings of a drawing by name, and their file
    settings: `Settings` and `load_settings`
    yaml_edit: setting some keys in imagen.yaml, whose other lines stay
    yaml_file: the file imagen.yaml and its template
"""
