"""The style sheet of the HTML report, as text: ink on paper, one accent, and orange for what went wrong.

Blue and orange are told apart by colour-blind people; what matters has a sign or a shape as well.
"""
from __future__ import annotations

_DARK = (
    "--paper:#141619;--ink:#e6e5e1;--soft:#989da5;--line:#2b2f35;--sunk:#1c1f23;--accent:#86b6f2;--bad:#f29a6b;"
    "--tint:#1f2b3a;--bad-tint:#3a2619;color-scheme:dark"
)

STYLE = (
    """
:root{color-scheme:light;--paper:#fbfbf9;--ink:#1c1e21;--soft:#646970;--line:#e2e2dd;--sunk:#f3f3ef;
--accent:#1f5fa8;--bad:#ad4308;--tint:#e3ecf7;--bad-tint:#fbe9dd;
--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
@media (prefers-color-scheme:dark){:root:not([data-theme=light]){DARK}}
:root[data-theme=dark]{DARK}
*{box-sizing:border-box}
[hidden]{display:none!important}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
font-variant-numeric:tabular-nums lining-nums}
main{max-width:84rem;margin:0 auto;padding:2.5rem 2.5rem 4rem}
h1,h2,h3,h4{font-weight:600;letter-spacing:-.012em;line-height:1.2;overflow-wrap:anywhere}
h1{font-size:2rem;margin:0 0 .4rem}
h2{font-size:1.35rem;margin:0 0 .25rem}
h3{font-size:1rem;margin:2.2rem 0 .5rem;letter-spacing:0}
h4{font-size:.78rem;font-weight:400;margin:0 0 .3rem;letter-spacing:0;color:var(--soft)}
p{margin:.4rem 0}
a{color:var(--accent);text-decoration-thickness:1px;text-underline-offset:.18em}
ul,ol{list-style:none;margin:0;padding:0}
b{font-weight:600}
button,input,select{font:inherit;color:inherit;background:none;border:1px solid var(--line);border-radius:4px}
button{cursor:pointer}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.top{display:flex;justify-content:space-between;align-items:baseline;margin-bottom:.6rem}
.kicker{margin:0;color:var(--soft);font-size:.78rem;letter-spacing:.09em;text-transform:uppercase}
.quiet{border:0;padding:.2rem .4rem;color:var(--soft);font-size:.82rem}
.quiet:hover{color:var(--ink)}
.run-name,.note{color:var(--soft);font-size:.86rem}
.run-name,.lead{overflow-wrap:anywhere}
.lead{max-width:46rem;white-space:pre-wrap}
.bad,.worse{color:var(--bad)}
.better{color:var(--accent)}
.verdict{display:flex;gap:.7rem;margin:1.4rem 0 0;padding:.75rem 1rem;background:var(--tint);border-radius:6px;
max-width:max-content;overflow-wrap:anywhere}
.verdict::before{content:"\\2713";font-weight:600;color:var(--accent)}
.verdict.poor{background:var(--bad-tint)}
.verdict.poor::before{content:"\\2717";color:var(--bad)}
.run{margin-top:3rem;scroll-margin-top:1.5rem}
.top+.run{margin-top:0}
.group{margin-top:3rem}
.group .wide{margin-top:.8rem}
.comparison td:last-child .note{margin-left:1.2rem}
table{width:100%;border-collapse:collapse;text-align:left}
th{font-weight:400}
thead th{color:var(--soft);font-size:.8rem;border-bottom:1px solid var(--ink);padding:.5rem 1.25rem .4rem 0;
vertical-align:bottom}
td,tbody th{border-bottom:1px solid var(--line);padding:.6rem 1.25rem .6rem 0;vertical-align:top}
tr>:last-child{padding-right:0}
.wide{overflow-x:auto;margin:1.6rem 0 .6rem}
.comparison td,.comparison tbody th{vertical-align:middle;white-space:nowrap}
.comparison tbody th{overflow-wrap:anywhere;white-space:normal;min-width:12rem;max-width:26rem}
.comparison svg{max-width:none}
.comparison.many svg{display:block}
.comparison.many td.metric .note{min-width:0}
.comparison.many td:last-child{white-space:normal}
.comparison .n,.value-column{text-align:right}
.comparison .n{width:5.5rem;padding-right:2rem}
.comparison td.metric b{display:inline-block;min-width:3.2rem}
.comparison td.metric .note{display:inline-block;min-width:7rem}
.comparison .chosen th{box-shadow:inset 3px 0 var(--accent)}
.comparison tbody th,.comparison thead th:first-child{padding-left:.8rem}
svg{overflow:visible;max-width:100%}
.plot{vertical-align:middle;margin-left:.5rem}
svg .axis{fill:none;stroke:var(--soft);stroke-width:1;opacity:.45}
.plot .span{opacity:.6;stroke:var(--accent);stroke-width:3;stroke-linecap:round}
.plot circle,.bars .bar,.dots .better{fill:var(--accent)}
.bars .rest{fill:var(--line)}
.dots .worse{fill:var(--bad)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(17.5rem,1fr));gap:1.6rem 2.5rem;
margin:1.8rem 0 2rem;
padding:1.3rem 0;border-top:1px solid var(--line);border-bottom:1px solid var(--line)}
.cards dt{color:var(--soft);font-size:.82rem;overflow-wrap:anywhere}
.cards dd{margin:.1rem 0 0}
.cards dd>b{font-size:1.6rem;font-weight:600;letter-spacing:-.015em;line-height:1.3;margin-right:.5rem}
.cards svg{display:block;margin:.45rem 0 0}
.ends{display:flex;justify-content:space-between;max-width:240px;color:var(--soft);font-size:.76rem}
.counts{display:grid;grid-template-columns:repeat(3,auto);justify-content:start;gap:0 2.2rem}
.counts b{display:block;font-size:1.6rem;letter-spacing:-.015em;line-height:1.3}
.counts span{color:var(--soft);font-size:.82rem}
.labels li{display:grid;grid-template-columns:minmax(0,1fr) auto;max-width:240px;gap:0 1rem;font-size:.88rem;
padding-top:.2rem}
.labels li span{overflow-wrap:anywhere;display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:3;
overflow:hidden}
.labels svg{grid-column:1/-1;margin:.1rem 0 .2rem;height:5px;width:100%}
summary{cursor:pointer;color:var(--accent);width:max-content;max-width:100%}
.choices{display:flex;flex-wrap:wrap;align-items:center;gap:.5rem .7rem;margin:2.2rem 0 0}
.choices label{color:var(--soft);font-size:.86rem}
.choices select{padding:.3rem .5rem;max-width:22rem;background:var(--paper);margin-right:1rem}
.toolbar{display:flex;flex-wrap:wrap;gap:.6rem 1.2rem;align-items:center;margin:1.6rem 0 .3rem}
.modes,.views{display:flex;flex-wrap:wrap;gap:.25rem}
.mode,.view{border-color:transparent;padding:.25rem .6rem;color:var(--soft);font-size:.88rem}
.mode:hover,.view:hover{color:var(--ink)}
[aria-pressed=true]{background:var(--tint);color:var(--ink)}
.mode .n{font-size:.8rem;opacity:.8;margin-left:.15rem}
#filter{flex:1 1 14rem;max-width:26rem;padding:.35rem .7rem;margin-left:auto}
#filter::placeholder{color:var(--soft);opacity:1}
.items{table-layout:fixed}
.items thead th{position:sticky;top:0;background:var(--paper);z-index:1;border:0;box-shadow:inset 0 -1px var(--ink)}
.items thead button{border:0;padding:0;text-align:inherit;max-width:100%;overflow:hidden;text-overflow:ellipsis}
.items thead button:hover{color:var(--ink)}
[aria-sort] button{color:var(--ink);font-weight:600}
[aria-sort=ascending] button::after{content:"\\a0\\2191"}
[aria-sort=descending] button::after{content:"\\a0\\2193"}
.items .place{width:4.2rem;color:var(--soft);overflow-wrap:anywhere;padding-left:.8rem;padding-right:.8rem}
.items .expected{width:16%}
.items .judged{width:22%}
.live>*>tr>.value-column{width:7.5rem}
.live.many>*>tr>.value-column{width:5.2rem;padding-right:.6rem}
.live.many td{font-size:.9rem}
.live .item{cursor:pointer;scroll-margin-top:3rem}
.live .item:hover>*{background:var(--sunk)}
.live .item.open>*{border-bottom-color:transparent}
.live .item:focus-within>.place{color:var(--ink)}
.opener{border:0;padding:0 .2rem;margin-left:-.2rem;text-align:left;overflow-wrap:anywhere}
.opener::before{content:"\\25b8";display:inline-block;width:.9rem;font-size:.7rem;color:var(--soft)}
.open .opener::before{content:"\\25be"}
.preview{display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:2;overflow:hidden;overflow-wrap:anywhere;
font-size:.9rem;unicode-bidi:plaintext}
.value{white-space:pre-wrap;overflow-wrap:anywhere;max-height:22rem;overflow:auto;font-size:.9rem;line-height:1.55;
unicode-bidi:plaintext}
.data,.problem details .value{font:.78rem/1.5 var(--mono)}
.failed .place,.erring .place{box-shadow:inset 3px 0 var(--bad)}
tr:target>*{background:var(--sunk)}
.error{color:var(--bad)}
.problem{margin-bottom:.6rem}
.problem summary{font-size:.82rem;margin-top:.3rem}
.problem details .value{margin-top:.35rem;padding:.7rem .9rem;background:var(--paper);border-radius:4px}
.score{overflow-wrap:anywhere}
.item .score{display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:2;overflow:hidden}
.yes{color:var(--accent)}
.no{color:var(--bad)}
.none{color:var(--soft)}
.yes::before{content:"\\2713\\a0"}
.no::before{content:"\\2717\\a0"}
.delta{font-size:.8rem;white-space:nowrap;margin-left:.5rem}
.delta.same{color:var(--soft)}
td.time{color:var(--soft);font-size:.86rem}
.detail>td{padding:.4rem 1.6rem 1.8rem 4.2rem}
.detail .texts{display:grid;grid-template-columns:repeat(auto-fit,minmax(16rem,1fr));gap:1.2rem 2.2rem}
.box{margin-top:1.2rem;min-width:0}
.texts .box{margin-top:0}
.views{margin:0 0 .4rem -.6rem}
.view{font-size:.8rem;padding:.1rem .6rem}
ins{background:var(--tint);color:inherit;text-decoration:underline;text-decoration-color:var(--accent);
text-decoration-thickness:2px;text-underline-offset:.15em;border-radius:2px}
del{background:var(--bad-tint);color:var(--bad);text-decoration:line-through;border-radius:2px}
.metrics{width:auto;min-width:min(100%,26rem)}
.metrics td,.metrics th{padding:.3rem 1.6rem .3rem 0;font-size:.9rem}
.metrics .value-column{max-width:22rem}
.metrics .comment{color:var(--soft);white-space:pre-wrap;overflow-wrap:anywhere;max-width:44rem}
.facts{display:flex;flex-wrap:wrap;gap:.3rem 2rem;margin:1.3rem 0 0;font-size:.82rem}
.facts div{display:flex;gap:.5rem}
.facts dt{color:var(--soft)}
.facts dd{margin:0;overflow-wrap:anywhere}
.spans{font-size:.82rem;max-width:60rem}
.spans li{display:grid;grid-template-columns:minmax(8rem,16rem) 6rem 1fr 4.5rem;gap:0 1rem;align-items:center;
padding:.12rem 0}
.span-name{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.spans .kind,.spans .time{color:var(--soft)}
.spans .time{text-align:right}
.spans .error{grid-column:1/-1;overflow-wrap:anywhere}
.lane{background:var(--sunk);height:.7rem;border-radius:2px;overflow:hidden}
.lane i{display:block;height:100%;background:var(--accent);border-radius:2px}
.lane i.bad{background:var(--bad)}
.pairs td,.pairs tbody th{vertical-align:middle;overflow-wrap:anywhere}
.plot-box{display:inline-block}
.pairs{font-size:.94rem}
.pairs .delta{font-size:inherit;margin:0}
.pairs td:last-child,.pairs th:last-child{text-align:center;width:24rem}
.pairs .value-column{white-space:nowrap}
.pairs .note{font-size:.78rem}
.checks{margin:.9rem 0 0}
.checks li{display:flex;gap:.5rem;flex-wrap:wrap;padding:.15rem 0 .15rem 1rem;overflow-wrap:anywhere}
.unseen{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden;white-space:nowrap}
.more{display:block;margin:1.2rem auto 0;padding:.4rem 1.2rem;color:var(--accent)}
.scores li{display:grid;grid-template-columns:1fr auto;gap:0 1rem;padding:0 0 .3rem;font-size:.88rem;max-width:34rem}
.scores .name{color:var(--soft);overflow-wrap:anywhere}
.scores .comment{grid-column:1/-1;color:var(--soft);margin:.1rem 0 .3rem;padding-left:.7rem;
border-left:2px solid var(--line)}
.failures li{padding:.25rem 0;overflow-wrap:anywhere}
footer{margin-top:3.5rem;padding-top:.8rem;border-top:1px solid var(--line);color:var(--soft);font-size:.82rem}
@media screen and (max-width:52rem){main{padding:1.3rem 1rem 3rem}
h1{font-size:1.5rem}
.items:not(.live)>thead{display:none}
.live>thead>tr{display:flex;flex-wrap:wrap;gap:0 1rem;align-items:baseline}
.live>thead>tr::before{content:"Sort by";color:var(--soft);font-size:.8rem}
.live>thead>tr>th.place,.live>thead>tr>th{width:auto!important;padding:.3rem 0;position:static;box-shadow:none}
.items>tbody,.items>tbody>tr,.items>tbody>tr>td,.items>tbody>tr>th{display:block;width:auto!important;padding-right:0}
.items>tbody>tr>*,.items>tbody>tr>th.place{border:0;padding:.15rem .8rem;text-align:left}
.items>tbody>tr{border-bottom:1px solid var(--line);padding:.6rem 0}
.items>tbody>tr.open{border-bottom:0}
.items>tbody>tr.open>td{display:none}
.items>tbody>tr>td[data-label]{display:grid;grid-template-columns:5.5rem minmax(0,1fr) auto;gap:0 .8rem;
justify-content:start}
.items>tbody>tr>td[data-label]::before{content:attr(data-label);color:var(--soft);font-size:.8rem;
overflow-wrap:anywhere}
.detail>td{padding:.2rem .8rem 1.2rem!important}
.detail .texts{grid-template-columns:minmax(0,1fr)}
.spans li{grid-template-columns:1fr auto}.lane{grid-column:1/-1;order:3}.spans .kind{display:none}
#filter{max-width:none;flex-basis:100%}
.pairs{display:block;overflow-x:auto}}
@media print{:root,:root[data-theme=dark]{color-scheme:light;--paper:#fff;--ink:#000;--soft:#444;--line:#bbb;
--sunk:#f4f4f4;
--accent:#14406f;--bad:#8f3400;--tint:#e8eef6;--bad-tint:#fbeee5}
html{font-size:11px}body{font-size:12px}main{max-width:none;padding:0}a{color:inherit;text-decoration:none}
.toolbar,.choices,.more,.quiet,.views{display:none!important}
.value{max-height:none;overflow:visible}
.items thead th{position:static}tr,.cards>div,.verdict{break-inside:avoid}
.detail{break-inside:auto}.detail>td{padding-left:1rem}
details::details-content{content-visibility:visible;block-size:auto}}
""".replace("{DARK}", "{" + _DARK + "}")
)
