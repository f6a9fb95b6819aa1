"""The style sheet of the HTML report: light and dark, wide and narrow, screen and paper."""

__all__ = ["STYLE"]

STYLE = """
:root{color-scheme:light dark;
--page:#f6f7f9;--card:#fff;--ink:#1b1f24;--muted:#68717c;--rule:#e4e7eb;
--accent:#0b8049;--accent2:#3367d6;--accent3:#d9730d;--bad:#c92f2a;--on-fill:#fff;--warn:#fff4d6;--warn-ink:#6b4e00}
@media (prefers-color-scheme:dark){:root{
--page:#0f1216;--card:#181c22;--ink:#e6e9ed;--muted:#98a2ad;--rule:#2b323b;
--accent:#34c77b;--accent2:#7aa2ff;--accent3:#f0a35e;--bad:#ff6b63;--on-fill:#06150d;--warn:#3a2f10;--warn-ink:#f3d98b}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1120px;margin:0 auto;padding:40px 20px 64px}
header h1{font-size:2.1rem;line-height:1.2;letter-spacing:-.02em;margin:0 0 6px}
header p{margin:0;color:var(--muted)}
nav{display:flex;flex-wrap:wrap;gap:6px 18px;margin:18px 0 0;font-size:.92rem}
nav a{color:var(--accent2);text-decoration:none}nav a:hover{text-decoration:underline}
.warn{background:var(--warn);color:var(--warn-ink);border-radius:12px;padding:12px 18px;margin:20px 0 0;font-weight:600}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:14px;margin:26px 0 0}
.tiles div{background:var(--card);border:1px solid var(--rule);border-radius:14px;padding:16px 20px}
.tiles b{display:block;font-size:1.7rem;letter-spacing:-.02em;font-variant-numeric:tabular-nums;line-height:1.25}
.tiles span{color:var(--muted);font-size:.9rem}
section{background:var(--card);border:1px solid var(--rule);border-radius:16px;padding:24px 26px;margin:22px 0 0}
h2{font-size:1.22rem;margin:0 0 4px;letter-spacing:-.01em}
h3{font-size:.98rem;margin:0 0 8px;font-weight:600}
.note{color:var(--muted);margin:0 0 18px;font-size:.94rem;max-width:46em}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:26px;align-items:start}
.chart{width:100%;height:auto;display:block}
img.pixels{image-rendering:pixelated;display:block;max-width:100%;height:auto;border-radius:8px}
.digits{display:grid;grid-template-columns:repeat(20,1fr);gap:12px 9px}
@media (max-width:900px){.digits{grid-template-columns:repeat(10,1fr)}}
.digits figure{margin:0;text-align:center;font-size:.86rem;color:var(--muted);font-variant-numeric:tabular-nums}
.digits img{width:100%;margin-bottom:3px}
.digits.large{grid-template-columns:repeat(auto-fill,minmax(76px,1fr))}
.digits b{color:var(--ink)}.digits .no{color:var(--bad)}
.more{margin-top:26px}
.one{display:flex;flex-wrap:wrap;gap:30px;align-items:center}.one>img{width:210px}.one>div{flex:1 1 320px}
.scroll{overflow:auto;max-height:78vh;border:1px solid var(--rule);border-radius:12px;padding:8px}
.scroll svg{display:block;margin:0 auto}
.fp-paper{fill:none}.fp-edge{stroke:var(--muted)}.fp-head{fill:var(--muted)}
.fp-octagon,.fp-ellipse{fill:var(--card);stroke:var(--muted)}.fp-octagon-text,.fp-ellipse-text{fill:var(--ink)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.95rem}
td,th{padding:8px 12px 8px 0;border-bottom:1px solid var(--rule);text-align:left;vertical-align:top}
tr:last-child td,tr:last-child th{border-bottom:0}
th{font-weight:500;color:var(--muted);width:40%}
footer{color:var(--muted);font-size:.88rem;margin:26px 4px 0}
@media print{body{background:#fff}section,.tiles div{break-inside:avoid}
.scroll{max-height:none;overflow:visible}nav{display:none}}
"""
