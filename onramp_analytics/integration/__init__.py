"""Install the make integration into an OnRamp checkout: the files, and the code that installs them."""
