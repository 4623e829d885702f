"""How it looks: one style sheet, light and dark, that asks nobody for anything."""

from __future__ import annotations

__all__ = ["STYLE"]

LIGHT = """
--ink:#1b1f24;--soft:#57606a;--paper:#ffffff;--raised:#f6f8fa;--rule:#d8dee4;--grid:#e8ecf0;--accent:#0b57a4;
--band:#e9edf1;--base:#57606a;--worse:#b42318;--better:#0a6b4b;--same:#4b5563;--unclear:#8a5200;
--c0:#0b57a4;--c1:#b4481e;--c2:#0a6b4b;--c3:#7b3fa0;--on:#ffffff;color-scheme:light;
"""
DARK = """
--ink:#e9edf2;--soft:#a3adb8;--paper:#12161b;--raised:#1a2027;--rule:#363f49;--grid:#252c34;--accent:#7db7f5;
--band:#252d36;--base:#a3adb8;--worse:#ff8f85;--better:#63cfa4;--same:#b4bdc8;--unclear:#efb45f;
--c0:#7db7f5;--c1:#f5a27d;--c2:#63cfa4;--c3:#cfa2ee;--on:#12161b;color-scheme:dark;
"""

RULES = """
.ta{color:var(--ink);background:var(--paper);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
font-variant-numeric:tabular-nums;margin:0 0 2.75rem;overflow-wrap:anywhere;text-align:start}
.ta *,.ta *::before{box-sizing:border-box}
.ta h2{font-size:1.3rem;line-height:1.3;font-weight:650;margin:0 0 .6rem;letter-spacing:-.01em;color:var(--ink)}
.ta h3{font-size:1rem;font-weight:650;margin:1.5rem 0 .35rem;color:var(--ink)}
.ta h4{font-size:.93rem;font-weight:650;margin:.75rem 0 .35rem;color:var(--ink)}
.ta p{margin:0 0 .7rem;max-width:52rem;color:var(--ink)}
.ta ul{margin:0 0 .7rem;padding-inline-start:1.2rem;max-width:52rem}.ta li{margin:.25rem 0}
.ta .ta-muted,.ta p.ta-muted{color:var(--soft)}.ta h3 .ta-muted{font-weight:400}
.ta a{color:var(--accent)}
.ta code,.ta pre{font:.87em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;color:var(--ink);background:none;
padding:0}
.ta pre{background:var(--raised);border:1px solid var(--rule);border-radius:4px;padding:.7rem .85rem;
margin:.4rem 0 .8rem;
white-space:pre-wrap;overflow-wrap:anywhere}
.ta-head h2{font-size:1.7rem;margin-bottom:.9rem}
.ta p.ta-eyebrow{color:var(--soft);margin:0 0 .2rem}
.ta p.ta-note{border-inline-start:3px solid var(--worse);padding-inline-start:.75rem}
.ta dl.ta-facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.2rem 1.1rem;margin:.3rem 0 1rem}
.ta dl.ta-facts dt{color:var(--soft)}.ta dl.ta-facts dd{margin:0}
.ta-chip{display:inline-block;border:1px solid currentColor;border-radius:3px;padding:0 .45em;font-size:.8rem;
line-height:1.45;font-weight:600;overflow-wrap:normal}
.ta .ta-worse,.ta .ta-lost,.ta .ta-wrong{color:var(--worse)}
.ta .ta-better,.ta .ta-gained,.ta .ta-right{color:var(--better)}
.ta .ta-same{color:var(--same)}.ta .ta-unclear{color:var(--unclear)}.ta .ta-unclear.ta-chip{border-style:dashed}
.ta-scroll{overflow-x:auto;max-width:100%;margin:.4rem 0 1rem;border:1px solid var(--rule);border-radius:4px;
overflow-wrap:normal}
.ta-scroll.ta-tall{max-height:36rem;overflow-y:auto}
.ta table{border-collapse:collapse;width:100%;font-size:.87rem;margin:0;color:var(--ink);background:var(--paper)}
.ta caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.ta th,.ta td{text-align:start;vertical-align:top;padding:.4rem .7rem;border:0;border-bottom:1px solid var(--rule);
max-width:34rem;overflow-wrap:break-word;background:none;color:inherit}
.ta td bdi{overflow-wrap:anywhere}
.ta tbody tr:last-child td{border-bottom:0}
.ta th{color:var(--soft);font-weight:600;background:var(--raised);white-space:nowrap}
.ta th.ta-n,.ta td.ta-n{text-align:end;white-space:nowrap}
.ta td{min-width:5.5rem}.ta td:first-child{min-width:7.5rem}
.ta details>summary{cursor:pointer}
.ta details.ta-twin{margin:.5rem 0}.ta details.ta-twin>summary{color:var(--accent);padding:.2rem 0;width:fit-content}
.ta details.ta-fold>summary{list-style-position:inside}
.ta .ta-scroll:focus-visible,.ta summary:focus-visible,.ta a:focus-visible,.ta-bar :focus-visible{
outline:2px solid var(--accent);outline-offset:2px;border-radius:2px}
.ta-panel{margin:1rem 0 1.4rem}.ta-panel h3{margin-top:0}
.ta-scale,.ta-row>summary,.ta-row.ta-flat{display:grid;grid-template-columns:minmax(9rem,25%) minmax(0,1fr) 8.5rem;
gap:0 1rem;align-items:center}
.ta-row{border-top:1px solid var(--rule)}.ta-row:last-child{border-bottom:1px solid var(--rule)}
.ta-row>summary{padding:.1rem 0;list-style:none}.ta-row>summary::-webkit-details-marker{display:none}
.ta-row>summary:hover{background:var(--raised)}
.ta-row .ta-label{font-size:.9rem}
.ta-row>summary .ta-label::before{content:"+";color:var(--soft);display:inline-block;width:1.1em}
.ta-row[open]>summary .ta-label::before{content:"–"}
.ta-row .ta-chip{justify-self:start}.ta-row>summary>.ta-muted{font-size:.87rem}
.ta-row>dl.ta-facts,.ta-row>p{margin:.4rem 0 1rem 1.1em;font-size:.9rem}
.ta-row[hidden],.ta tr[hidden]{display:none}
.ta-legend,.ta p.ta-legend{font-size:.87rem;color:var(--soft)}
.ta-key{display:inline-block;width:.7rem;height:.7rem;border-radius:50%;border:2px solid var(--base);
margin:0 .35em 0 .5em;
vertical-align:-.05em}
.ta-key:first-child{margin-inline-start:0}.ta-key-adapted{background:var(--ink);border-color:var(--ink)}
.ta-key.ta-c0{background:var(--c0);border-color:var(--c0)}.ta-key.ta-c1{background:var(--c1);border-color:var(--c1)}
.ta-key.ta-c2{background:var(--c2);border-color:var(--c2)}.ta-key.ta-c3{background:var(--c3);border-color:var(--c3)}
.ta svg.ta-figure{display:block;overflow:visible;min-width:0}
.ta-cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,25rem),1fr));gap:1.5rem 2rem;
margin:.8rem 0}
.ta-card{margin:0;border-top:1px solid var(--rule);padding-top:.6rem;min-width:0}
.ta-card figcaption{font-size:.9rem;margin-bottom:.5rem;color:var(--ink)}
.ta-wide{grid-column:1/-1;max-width:48rem}
.ta-two{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,25rem),1fr));gap:0 2rem}
.ta svg text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-variant-numeric:tabular-nums}
.ta svg .ta-t{fill:var(--soft)}.ta svg .ta-name,.ta svg .ta-value{fill:var(--ink);font-size:12px}
.ta svg .ta-number{fill:var(--on);font-weight:700;text-anchor:middle}
.ta svg .ta-grid{stroke:var(--grid)}.ta svg .ta-zero,.ta svg .ta-end{stroke:var(--soft)}
.ta svg .ta-join{stroke:var(--soft);stroke-dasharray:2 2}
.ta svg .ta-band{fill:var(--band)}
.ta svg .ta-interval{stroke:var(--base);stroke-width:1.5}.ta svg .ta-over{stroke:var(--ink)}
.ta svg .ta-decides{stroke-width:4}.ta svg .ta-link{stroke-width:2;stroke-dasharray:1 3;stroke-linecap:round}
.ta svg .ta-base{fill:var(--paper);stroke:var(--base);stroke-width:2}
.ta svg .ta-adapted{fill:var(--ink);stroke:var(--paper)}
.ta svg .ta-s-worse{stroke:var(--worse)}.ta svg .ta-s-better{stroke:var(--better)}
.ta svg .ta-s-same{stroke:var(--same)}.ta svg .ta-s-unclear{stroke:var(--unclear)}
.ta svg .ta-f-worse{fill:var(--worse)}.ta svg .ta-f-better{fill:var(--better)}
.ta svg .ta-f-same{fill:var(--same)}.ta svg .ta-f-unclear{fill:var(--unclear)}
.ta svg .ta-part{fill:var(--accent);opacity:.75}.ta svg .ta-sum{fill:var(--ink);opacity:.45}
.ta svg .ta-of-base{fill:none;stroke:var(--base);stroke-width:1.5}
.ta svg .ta-line{stroke-width:2}.ta svg .ta-point{stroke:var(--paper)}
.ta svg line.ta-c0{stroke:var(--c0)}.ta svg line.ta-c1{stroke:var(--c1)}.ta svg line.ta-c2{stroke:var(--c2)}
.ta svg line.ta-c3{stroke:var(--c3)}.ta svg circle.ta-c0{fill:var(--c0)}.ta svg circle.ta-c1{fill:var(--c1)}
.ta svg circle.ta-c2{fill:var(--c2)}.ta svg circle.ta-c3{fill:var(--c3)}
.ta-bar{display:flex;flex-wrap:wrap;gap:.6rem 1rem;align-items:end;margin:0 0 1rem;padding:.7rem .85rem;
background:var(--raised);
border:1px solid var(--rule);border-radius:4px}
.ta-bar[hidden]{display:none}
.ta-bar label{display:grid;gap:.15rem;font-size:.8rem;color:var(--soft)}
.ta-bar select,.ta-bar input{font:inherit;font-size:.93rem;color:var(--ink);background:var(--paper);
border:1px solid var(--soft);
border-radius:3px;padding:.25rem .4rem;min-height:2rem;max-width:100%}
.ta-bar output{font-size:.87rem;color:var(--soft);padding-bottom:.35rem}
@media (max-width:720px){
.ta-row>summary,.ta-row.ta-flat{grid-template-columns:minmax(0,1fr) max-content;padding:.45rem 0}
.ta-row svg{grid-column:1/-1;grid-row:2}.ta-scale{grid-template-columns:minmax(0,1fr)}.ta-scale>span{display:none}
.ta-head h2{font-size:1.35rem}.ta dl.ta-facts{grid-template-columns:minmax(0,1fr);gap:0}
.ta dl.ta-facts dd{margin-bottom:.45rem}}
@media print{.ta-bar{display:none}}
@media (forced-colors:active){.ta svg .ta-band{fill:none;stroke:CanvasText}}
"""

STYLE = (
    f".ta,.ta-page{{{LIGHT}}}"
    f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]) .ta:not(.gradio-container .ta),"
    f":root:not([data-theme=light]) .ta-page{{{DARK}}}}}"
    f":root[data-theme=dark] .ta,:root[data-theme=dark] .ta-page,.dark .ta{{{DARK}}}{RULES}"
).replace("\n", "")
"""All rules hold below the class ``ta``, which every fragment carries: nothing else on a page is touched."""
