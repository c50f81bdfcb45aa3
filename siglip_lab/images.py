"""Any picture to upright, opaque RGB, chapter "Preprocessing"."""

from PIL import Image

from siglip_lab.decoding import FORMATS, ImageLike, decode
from siglip_lab.image_checks import check_background, check_image

__all__ = ["WHITE", "ImageLike", "load_image"]

WHITE = (255, 255, 255)


def load_image(image: ImageLike, background: tuple[int, int, int] = WHITE) -> Image.Image:
    """Read an image and give it as a person sees it: upright, opaque, RGB, 8 bits a channel.

    A camera's EXIF orientation is applied; transparent parts are laid over the background; grey,
    palette, CMYK and 1-bit images become RGB; 16-bit grey is scaled, not clipped, to 8 bits. Of an
    animation, the first frame is taken. Colour profiles are ignored, as every SigLIP pipeline does,
    and so is EXIF that is damaged.

    The formats read are `decoding.FORMATS`: AVIF if Pillow was built with it, HEIF with a plugin
    such as pillow-heif. A picture of more than `PIL.Image.MAX_IMAGE_PIXELS` pixels, by default
    89,478,485, is refused before it is decoded, which takes up to 16 bytes for each pixel. Raise
    that number, or set it to None, for files that you trust.

    Args:
        image: A path, the bytes of an image file, an open file, a PIL image (which is loaded and
            stays so: of many large ones, give the paths), or a NumPy array `[H, W]` (grey) or
            `[H, W, C]` with C = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA), whose dtype is
            uint8, uint16 (divided by 257), or floating in [0, 1] (multiplied by 255).
        background: RGB levels 0..255 that show through where the image is transparent.

    Returns:
        A PIL image of mode "RGB", at its own size. It may be the given one: do not draw on it.

    Raises:
        TypeError, ValueError, FileNotFoundError: If it is none of these, or cannot be decoded to
            the end, or has a side shorter than 2 pixels.

    >>> load_image(Image.new("RGBA", (6, 4), (0, 0, 0, 0))).getpixel((0, 0))
    (255, 255, 255)
    """
    check_image(image, FORMATS)
    check_background(background)
    image = decode(image)
    if image.mode == "RGB":
        return image
    canvas = Image.new("RGB", image.size, tuple(background))
    canvas.paste(image, mask=image)  # equals alpha_composite, with half its memory
    return canvas
