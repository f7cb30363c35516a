() => {
// Every text with too little contrast against what lies behind it, and every frame of a hollow cell.
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {  // any CSS colour as red, green, blue of 255 and opacity of 1
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const behind = (node) => {
    const papers = [];
    for (let at = node; at; at = at.parentElement) papers.push(rgba(getComputedStyle(at).backgroundColor));
    return papers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = (colour) => colour.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const low = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !node.checkVisibility() || node.closest('script, .chart, option')) continue;
    const paper = behind(node);
    const found = ratio(over(rgba(getComputedStyle(node).color), paper), paper);
    const least = node.closest('[aria-hidden=true]') ? 3 : 4.5;  // a symbol of a legend is a picture
    if (found < least) low.push(`${found.toFixed(2)} ${node.className || node.tagName} ${node.textContent.trim().slice(0, 30)}`);
  }
  for (const node of document.querySelectorAll('td .spot.not-broken, td .spot.undecided')) {
    const found = ratio(rgba(getComputedStyle(node).borderTopColor).slice(0, 3), behind(node.parentElement));
    if (found < 3) low.push(`${found.toFixed(2)} frame ${node.className}`);
  }
  return [...new Set(low)];
}
