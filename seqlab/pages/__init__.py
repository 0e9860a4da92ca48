"""Pages: PAGE XML, ALTO and hOCR files with their text lines, read, cut into line images, filled and written back.

page = read_page("page.xml")
image = read_image(find_image(page))
page.fit(image.shape[1], image.shape[0])
for line in page.lines:
    crop = crop_line(image, line)
    page.fill(line, recognizer.transcribe(crop.image), crop)
write_page(page, "filled/page.xml")
"""

from seqlab.pages.crop import LineImage, crop_line, line_reach
from seqlab.pages.document import Page, PageLine
from seqlab.pages.files import find_image, read_page, write_page

__all__ = ["LineImage", "Page", "PageLine", "crop_line", "find_image", "line_reach", "read_page", "write_page"]
