"""Samenet's entry: `streamlit run app.py` finds `app` here, without executing this file.

Where something executes it as a script instead, each visitor's run comes by and draws the page.
"""

import streamlit as st
from streamlit import runtime

from ui import main, server, status

if runtime.exists():
    main.main()
else:
    app = st.App(
        main.__file__,
        lifespan=server.lifespan,
        middleware=server.middleware(),
        routes=status.routes(),
        on_script_error=main.failed,
    )
