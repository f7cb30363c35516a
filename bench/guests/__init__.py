"""Plugin code runs here: in processes that hold no labels of the judge, no store and no other plugin.

The harness never imports a guest, which is a plugin outside the project's own packages. It starts a process for it,
sends what the guest may have, and checks what comes back.
"""
