"""One module for each figure: what it shows, without plotly, and then its drawing."""
