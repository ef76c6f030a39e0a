"""The style sheet of an inventory's page: light and dark, for screens and for paper. Pure.

The colours are from the set of Okabe and Ito, for people with any kind of colour vision; a colour never has a
meaning of its own.
"""

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --quiet: #57606a; --grid: #d0d7de;
  --stripe: #f6f8fa; --life: #c9d1d9; --fine: #0072b2; --due: #e69f00; --urgent: #d55e00; --bad: #b04a00;
  --link: #0060a0; }
@media (prefers-color-scheme: dark) { :root { --paper: #0d1117; --ink: #e6edf3; --quiet: #9da7b3;
  --grid: #30363d; --stripe: #161b22; --life: #3d444d; --fine: #56b4e9; --due: #e69f00; --urgent: #ff8a4c;
  --bad: #ff9e6b; --link: #79c0ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 82rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, "Liberation Sans", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 .5rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .4rem 0; max-width: 70rem; } a { color: var(--link); } nav a { margin-right: 1rem; }
.quiet, small { color: var(--quiet); } small { display: block; font-size: .8rem; }
.verdict { padding: .5rem .8rem; border: 1px solid var(--grid); border-left-width: .5rem; font-weight: 600;
  overflow-wrap: anywhere; }
.good { border-left-color: var(--fine); } .bad { border-left: .5rem double var(--urgent); }
.tiles { display: flex; flex-wrap: wrap; gap: .5rem; padding: 0; list-style: none; }
.tiles li { flex: 1 1 8rem; max-width: 14rem; padding: .4rem .7rem; border: 1px solid var(--grid); }
.tiles b { display: block; font-size: 1.5rem; line-height: 1.2; }
#notes li { margin: .2rem 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } @media (max-width: 50rem) { .chart { overflow-x: auto; } }
.chart svg { display: block; width: 100%; min-width: 46rem; }
.axis { position: sticky; top: 0; background: var(--paper); min-width: 46rem; }
svg text { font: 12px system-ui, "Liberation Sans", "DejaVu Sans", sans-serif; fill: var(--ink); }
svg text.small { font-size: 10px; } svg text.middle { text-anchor: middle; }
svg text.quiet { fill: var(--quiet); } svg text.strong { font-weight: 700; }
.life { fill: var(--life); } .fine, .bar { fill: var(--fine); } .due { fill: var(--due); }
.urgent { fill: var(--urgent); } .paper { fill: var(--paper); } .ink { fill: var(--ink); }
.stripe { fill: var(--stripe); } .grid { stroke: var(--grid); stroke-width: 1; }
.today { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 4 3; }
.month { stroke: var(--quiet); stroke-width: 1; stroke-opacity: .3; }
.notch { stroke: var(--ink); stroke-width: 1.5; }
.diamond { fill: var(--paper); stroke: var(--urgent); stroke-width: 2; }
table { border-collapse: collapse; font-size: .85rem; } th { text-align: left; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--grid); vertical-align: top; }
td { font-variant-numeric: tabular-nums; } tbody tr:nth-child(even) { background: var(--stripe); }
#matrix td div { padding-left: .5rem; border-left: 4px solid var(--grid); }
#copies td, #matrix th { white-space: nowrap; max-width: 24rem; overflow: hidden; text-overflow: ellipsis; }
#matrix td .s-in-sync { border-left-color: var(--fine); }
#matrix td .s-stale, #matrix td .s-drifted, #matrix td .s-missing { border-left: 4px dashed var(--due); }
#matrix td .s-refused, #matrix td .s-foreign { border-left: 4px double var(--urgent); }
#matrix td .s-pending { border-left: 4px dotted var(--fine); }
#matrix td .s-unknown { border-left: 4px dotted var(--ink); }
.s-refused, .s-foreign { color: var(--bad); font-weight: 600; } .s-unknown { font-style: italic; }
@media print { body { max-width: none; padding: 0; font-size: 11px; } nav { display: none; }
  .axis { position: static; } .chart, .wide { overflow: visible; } .chart svg, .axis { min-width: 0; }
  #copies td, #matrix th { white-space: normal; } tr, li, svg g { break-inside: avoid; }
  * { print-color-adjust: exact; } }
"""
