"""The script of the static page: filters rows that are there already."""

from __future__ import annotations

__all__ = ["SCRIPT"]

SCRIPT = """
document.querySelectorAll('.ta-filtered').forEach(function (part) {
  var bar = part.querySelector('.ta-bar');
  if (!bar) return;
  bar.hidden = false;
  var controls = Array.from(bar.querySelectorAll('[data-by]'));
  var rows = Array.from(part.querySelectorAll('.ta-row, tbody tr[data-verdict], tbody tr[data-outcome]'));
  var texts = rows.map(function (row) { return row.textContent.toLowerCase(); });
  function apply() {
    var counted = 0, all = 0;
    rows.forEach(function (row, n) {
      var kept = controls.every(function (control) {
        var wanted = control.value.trim().toLowerCase();
        if (!wanted) return true;
        if (control.dataset.by === 'text') return texts[n].includes(wanted);
        return (row.dataset[control.dataset.by] || '').toLowerCase() === wanted;
      });
      row.hidden = !kept;
      var twin = row.matches('tr[data-verdict]');
      all += twin ? 0 : 1;
      counted += kept && !twin ? 1 : 0;
    });
    part.querySelectorAll('.ta-panel').forEach(function (panel) {
      var own = panel.querySelectorAll('.ta-row');
      panel.hidden = own.length > 0 && !panel.querySelector('.ta-row:not([hidden])');
    });
    bar.querySelector('output').textContent = counted + ' of ' + all + ' shown';
  }
  controls.forEach(function (control) { control.addEventListener('input', apply); });
  apply();
});
""".strip()
"""It reads and hides; it writes nothing but a count."""
