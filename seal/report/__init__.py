"""What readers see: intervals, tables, plots, several seeds together."""
