"""The web page of an embedded Nucleus: rendered here, from templates, with a little JavaScript beside."""
