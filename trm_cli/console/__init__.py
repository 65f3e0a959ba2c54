"""Everything a person sees: tables, plots, progress, error panels."""
