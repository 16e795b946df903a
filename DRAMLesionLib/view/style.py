"""The page's looks."""

STYLE = """
html, body { overflow: hidden !important; height: 100%; }
.views { height: calc(100vh - var(--v-layout-top, 28px)); display: flex; background: #000; }
.views > div { flex: 1; min-width: 0; min-height: 0; }
.layout-grid-container > div { min-width: 0; min-height: 0; border: 1px solid #2a323a; }
.brand { font-weight: 600; padding: 0 14px; }
.case-title { color: #c9d3dc; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; max-width: 30vw; }
.headline { font-variant-numeric: tabular-nums; white-space: nowrap; }
.quiet { color: #8d99a5; font-size: 12px; padding: 0 8px; white-space: nowrap; }
.section { padding: 6px 12px 8px; border-bottom: 1px solid #2a323a; font-size: 13px; }
.heading { font-weight: 600; font-size: 13px; padding: 2px 0; }
.row { display: flex; align-items: center; gap: 6px; }
.row .v-checkbox { flex: none; margin-right: 8px; }
.v-checkbox .v-label { font-size: 12px; }
.v-selection-control { --v-selection-control-size: 26px; min-height: 26px !important; }
.v-slider .v-label { font-size: 12px; }
.v-slider.v-input--horizontal { margin-inline: 4px !important; }
.lobes { display: grid; grid-template-columns: 40px 1fr 42px 38px 44px 26px; align-items: center; row-gap: 1px; }
.column { color: #8d99a5; font-size: 11px; text-align: right; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.number.wide { min-width: 48px; }
.lobe-name { border-left: 4px solid; padding-left: 5px; font-weight: 500; }
.lung { display: grid; grid-template-columns: 40px 1fr 42px 38px 44px 26px; padding: 1px 0; color: #c9d3dc; }
.lung-name { grid-column: 1 / 3; }
.legend { display: flex; align-items: center; gap: 6px; font-size: 11px; color: #8d99a5; padding: 2px 0; }
.legend-bar { flex: 1; height: 8px; border-radius: 2px; }
.grid { display: grid; grid-template-columns: 58px 1fr 66px; align-items: center; font-size: 12px; }
.flag { font-size: 12px; color: #e5c07b; padding: 2px 0; white-space: normal; }
.cases, .lesions { max-height: 150px; overflow-y: auto; }
.case { display: flex; gap: 6px; align-items: center; padding: 2px 6px; cursor: pointer; }
.case .number { margin-left: auto; }
.lesion { display: grid; grid-template-columns: 24px 1fr 80px 70px; gap: 6px; padding: 1px 6px; cursor: pointer; }
.case:hover, .lesion:hover { background: #232b33; }
.chosen { background: #28435a !important; }
.side { position: absolute; color: #f2d27a; font: 600 15px sans-serif; text-shadow: 0 0 3px #000, 0 0 3px #000;
  pointer-events: none; }
.side-left { left: 8px; top: 50%; } .side-right { right: 8px; top: 50%; }
.side-top { top: 6px; left: 50%; } .side-bottom { bottom: 30px; left: 50%; }
.plane-name { position: absolute; top: 6px; left: 10px; font: 12px sans-serif; color: #dbe4ec;
  text-shadow: 0 0 3px #000; pointer-events: none; }
.plane-fit { position: absolute !important; top: 2px; right: 2px; opacity: 0.7; }
.plane-slider { position: absolute !important; bottom: 0; left: 8px; right: 8px; }
.busy { position: fixed; left: 14px; bottom: 40px; z-index: 2000; display: flex; gap: 8px; align-items: center;
  background: #171c21; padding: 6px 12px; border-radius: 6px; font-size: 13px; }
"""
