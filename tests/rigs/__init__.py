"""Real servers and a real browser on loopback; no server knows what reads from it.

processes.py    a server in a process of its own: killed, frozen, started again on its port
rtsp.py         GStreamer's RTSP server (`rtsp_server.py`, under the system's Python)
http_camera.py  HTTP: MJPEG and MPEG-TS at a camera's pace, files, refusals on demand
transport.py    MPEG-TS in the making: damaged, without times, beginning anew; sent by UDP
ffmpeg.py       HLS and MPEG-TS over UDP by ffmpeg's command line
network.py      a server that never answers; a line that freezes, is cut, corrupts bytes
barcode.py      the wall clock in a picture, read back
watching.py     one `Capture` with all that it needs, and waiting for what it does
site.py         a server with its page, and takes that have seen a drawn film
browser.py      Chromium, and what its windows ask for and complain of
fake_webcam.py  a drawn film as the camera of that browser
pages.py        what a visitor does on the page, by the words that he sees
access.py       names and contrast, for those who see little
"""
