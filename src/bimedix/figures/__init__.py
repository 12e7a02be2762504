"""Pages of figures: tables and plots in one self-contained HTML file, for every report."""
