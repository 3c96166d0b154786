"""Ask about a video file from Python: ``ask_a_file.py VIDEO QUESTION...``."""

import sys

import longtake


def main() -> None:
    if len(sys.argv) < 3:
        raise SystemExit('usage: ask_a_file.py VIDEO "What color was the star?" ...')
    video, *questions = sys.argv[1:]
    with longtake.open(model="embedded") as take:
        take.watch(video).wait()
        for question in questions:
            answer = take.ask(question)
            print(question, "->", answer.text)
            for moment in answer.evidence:
                print(f"    {moment.start_s:.0f} to {moment.end_s:.0f} s ({moment.score:.0%})")


if __name__ == "__main__":
    main()
