// Pixel values [1, 3, S, S] in [-1, 1], as a model is given them, back to a picture.

// Levels 0..255 with alpha, as a canvas has them, and as the model takes a picture.
export function levels({ shape: [, , side], data }) {
  const picture = new ImageData(side, side);
  for (let i = 0; i < side * side; i++) {
    for (let c = 0; c < 3; c++) {
      picture.data[4 * i + c] = Math.round((data[c * side * side + i] + 1) * 127.5);
    }
    picture.data[4 * i + 3] = 255;
  }
  return picture;
}

// The same as an address for an image.
export function address(picture) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: picture.width, height: picture.height });
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas.toDataURL();
}
