// Seven steps through the figure: what to look at, and what to try. A step opens the stations that
// it speaks of.

export const TOUR = [
  {
    title: "Every caption gets its own answer",
    words: "The model looks at the drawing and at each caption, and says how likely they belong "
      + "together. (Each step begins with this drawing; yours comes back in the end.)",
    task: "Drag a circle: “2 red circles” stays high, but for the edge. Then press bare paper: a "
      + "third circle comes, “2 red circles” falls, and “3 red circles” rises.",
    open: [],
    show: ".ex-top",
  },
  {
    title: "The drawing becomes patches",
    words: "40 × 40 pixels are cut into 36 squares. Four rows and four columns are left over and "
      + "dropped.",
    task: "Drag a circle to the right edge, until it lies in the red: the model no longer sees it.",
    open: ["pixels", "patches"],
    show: "patches",
  },
  {
    title: "Patches become tokens",
    words: "Each patch turns into 72 numbers, and a learned position is added to them.",
    task: "Press “patch”: all patches of bare paper are the same. Press “+ position”: these numbers "
      + "say where a patch is. Their sum is the token.",
    open: ["tokens"],
    show: "tokens",
  },
  {
    title: "Tokens look at each other",
    words: "In four layers, every patch takes something from every other. That is attention.",
    task: "Point at a patch on a circle, then at bare paper. Then compare the layers.",
    open: ["attention"],
    show: "attention",
  },
  {
    title: "One vector for the whole drawing",
    words: "The probe weighs the 36 tokens, and 72 numbers remain: the arrow of the drawing.",
    task: "Move a circle and watch the weights follow it.",
    open: ["probe", "image-vector"],
    show: "probe",
  },
  {
    title: "The caption goes the same way",
    words: "It is cut into pieces, each with its id. 16 tokens go through two layers, and the last "
      + "one is kept.",
    task: "Change it to “2 scarlet circles”: a word that is not in the list falls to pieces.",
    open: ["pieces", "text-attention", "text-vector"],
    show: "pieces",
  },
  {
    title: "Where they meet",
    words: "The two arrows are multiplied number by number. The sum, times t, plus b, goes through "
      + "the sigmoid: that is p.",
    task: "Point at the tallest green bar. Then press Done, and choose softmax there: two captions "
      + "that are both true have to share 100 %.",
    open: ["product", "probability"],
    show: "product",
  },
];
