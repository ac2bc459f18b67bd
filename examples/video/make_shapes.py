"""Makes `shapes.mp4`: a ball before blue, a square before red, and a voice. Run it from here.

Nobody filmed anything: the shapes are drawn, and the voice is a recording of `../speech`.
"""

from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from vivace import AudioFormat, read_audio, slice_pcm

SECONDS, FPS, RATE = 14.0, 25, 16_000
HEIGHT, WIDTH = 240, 320
VOICE_AT = 9.5  # seconds


def pictures() -> Iterator[Any]:
    """A ball crosses from 2 s to 5 s; at 6 s the scene changes; the square falls at the end."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for number in range(round(SECONDS * FPS)):
        at = number / FPS
        if at < 6:
            drawn = np.full((HEIGHT, WIDTH, 3), (30, 60, 190), np.uint8)
            middle = 40 + 240 * min(1.0, max(0.0, (at - 2) / 3))
            drawn[(x - middle) ** 2 + (y - 120) ** 2 < 25**2] = (245, 245, 245)
        else:
            drawn = np.full((HEIGHT, WIDTH, 3), (190, 40, 30), np.uint8)
            top = 30 + round(130 * min(1.0, max(0.0, (at - 12.5) / 1)))
            drawn[top : top + 50, 220:270] = (250, 230, 60)
        yield drawn


def main() -> None:
    """Write the film."""
    voice = read_audio("../speech/goforward.wav", RATE)
    pcm = AudioFormat(RATE).silence(VOICE_AT) + voice
    pcm = pcm.ljust(AudioFormat(RATE).size(SECONDS), b"\0")
    with av.open("shapes.mp4", "w") as out:
        video: Any = out.add_stream("mpeg4", rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.bit_rate = 150_000
        sound: Any = out.add_stream("aac", rate=RATE)
        sound.layout = "mono"
        for picture in pictures():
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(video.encode(None))
        for number, chunk in enumerate(slice_pcm(pcm, AudioFormat(RATE), 0.064)):
            frame = av.AudioFrame.from_ndarray(np.frombuffer(chunk, "<i2")[None], "s16", "mono")
            frame.sample_rate, frame.pts = RATE, number * 1024
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))


if __name__ == "__main__":
    main()
