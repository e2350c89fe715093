"""The report: a history as one HTML page that needs no other file.

Other rooms use:
    page: `report` and `write_report`
"""
