"""Page files as kraken, eScriptorium and Transkribus write them, made up, and transcripts to fill them with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from seqlab.outputs.transcript import Transcript, Word

# Transkribus: default namespace, xsi, comments, custom attributes, several TextEquivs, Word elements of an old run.
PAGE_2013 = """\
<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<!-- exported -->
<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2013-07-15" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://schema.primaresearch.org/PAGE/gts/\
pagecontent/2013-07-15 http://schema.primaresearch.org/PAGE/gts/pagecontent/2013-07-15/pagecontent.xsd">
    <Metadata>
        <Creator>prov=Somebody &amp; Sons:name=x</Creator>
        <Created>2016-02-24T10:13:14.000+01:00</Created>
        <LastChange>2016-02-25T10:13:14.000+01:00</LastChange>
    </Metadata>
    <Page imageFilename="C:\\scans\\page1.png" imageWidth="400" imageHeight="300">
        <ReadingOrder>
            <OrderedGroup id="ro" caption="Regions reading order">
                <RegionRefIndexed index="1" regionRef="r1"/>
                <RegionRefIndexed index="0" regionRef="r2"/>
            </OrderedGroup>
        </ReadingOrder>
        <TextRegion type="paragraph" id="r1" custom="readingOrder {index:1;}">
            <Coords points="10,10 390,10 390,150 10,150"/>
            <TextLine id="l2" custom="readingOrder {index:1;}">
                <Coords points="20,90 380,90 380,140 20,140"/>
                <Baseline points="20,125 380,125"/>
                <TextEquiv>
                    <Unicode>zweite Zeile</Unicode>
                </TextEquiv>
                <TextStyle fontFamily="Times" fontSize="8.0"/>
            </TextLine>
            <TextLine id="l1" custom="readingOrder {index:0;} structure {type:heading;}">
                <Coords points="20,20 380,20 380,70 20,70"/>
                <!-- drawn from the right -->
                <Baseline points="380,55 200,56 20,55"/>
                <Word id="l1_w1">
                    <Coords points="20,20 90,20 90,70 20,70"/>
                    <TextEquiv>
                        <Unicode>alt</Unicode>
                    </TextEquiv>
                </Word>
                <TextEquiv conf="0.5">
                    <Unicode>erste &lt;Zeile&gt;</Unicode>
                </TextEquiv>
            </TextLine>
            <TextEquiv>
                <Unicode>erste &lt;Zeile&gt;
zweite Zeile</Unicode>
            </TextEquiv>
        </TextRegion>
        <TextRegion type="marginalia" id="r2" custom="readingOrder {index:0;}">
            <Coords points="10,200 200,200 200,280 10,280"/>
            <TextLine id="l3">
                <Coords points="20,210.5 190,210 190,250 -3,250"/>
            </TextLine>
        </TextRegion>
        <GraphicRegion id="g1"><Coords points="210,200 390,200 390,280 210,280"/></GraphicRegion>
    </Page>
</PcGts>
"""

# OCR-D and PRImA: prefixed, alternatives with indices, labels after the text, tabs.
PAGE_2019 = """\
<?xml version="1.0" encoding="UTF-8"?>
<pc:PcGts xmlns:pc="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15" \
xmlns:xlink="http://www.w3.org/1999/xlink" pcGtsId="FILE_1">
\t<pc:Metadata>
\t\t<pc:Creator>ocrd</pc:Creator>
\t\t<pc:Created>2020-01-01T00:00:00</pc:Created>
\t\t<pc:LastChange>2020-01-01T00:00:00</pc:LastChange>
\t\t<pc:MetadataItem type="processingStep" name="layout" value="segment"/>
\t</pc:Metadata>
\t<pc:Page imageFilename="OCR-D-IMG/page1.tif" imageWidth="400" imageHeight="300" orientation="0.0">
\t\t<pc:AlternativeImage filename="OCR-D-BIN/page1.png" comments="binarized"/>
\t\t<pc:TextRegion id="r1" type="heading">
\t\t\t<pc:Coords points="10,10 390,10 390,150 10,150" conf="0.9"/>
\t\t\t<pc:TextLine id="l1">
\t\t\t\t<pc:AlternativeImage filename="OCR-D-BIN/l1.png"/>
\t\t\t\t<pc:Coords points="20,20 380,20 380,70 20,70"/>
\t\t\t\t<pc:TextEquiv index="1" conf="0.3"><pc:Unicode>second</pc:Unicode></pc:TextEquiv>
\t\t\t\t<pc:TextEquiv index="0" conf="0.8" comments="kept">\
<pc:PlainText>first</pc:PlainText><pc:Unicode>first</pc:Unicode></pc:TextEquiv>
\t\t\t\t<pc:TextStyle bold="true"/>
\t\t\t\t<pc:UserDefined><pc:UserAttribute name="a" value="b"/></pc:UserDefined>
\t\t\t\t<pc:Labels><pc:Label value="x"/></pc:Labels>
\t\t\t</pc:TextLine>
\t\t\t<pc:TextLine id="l2">
\t\t\t\t<pc:Coords points="20,90 380,90 380,140 20,140"/>
\t\t\t\t<pc:Labels><pc:Label value="y"/></pc:Labels>
\t\t\t</pc:TextLine>
\t\t</pc:TextRegion>
\t</pc:Page>
</pc:PcGts>
"""

# eScriptorium: one String per line, tags, baselines with blanks; and a line as kraken writes it, with commas.
ALTO_4 = """\
<?xml version="1.0" encoding="UTF-8"?>
<alto xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns="http://www.loc.gov/standards/alto/ns-v4#" \
xsi:schemaLocation="http://www.loc.gov/standards/alto/ns-v4# http://www.loc.gov/standards/alto/v4/alto-4-2.xsd">
  <Description>
    <MeasurementUnit>pixel</MeasurementUnit>
    <sourceImageInformation>
      <fileName>page1.png</fileName>
    </sourceImageInformation>
  </Description>
  <Tags>
    <OtherTag ID="BT1" LABEL="MainZone" DESCRIPTION="block type"/>
    <OtherTag ID="LT1" LABEL="HeadingLine"/>
  </Tags>
  <Layout>
    <Page WIDTH="400" HEIGHT="300" PHYSICAL_IMG_NR="0" ID="eSc_page">
      <PrintSpace HPOS="0" VPOS="0" WIDTH="400" HEIGHT="300">
        <TextBlock ID="b1" HPOS="10" VPOS="10" WIDTH="380" HEIGHT="140" TAGREFS="BT1">
          <Shape><Polygon POINTS="10 10 390 10 390 150 10 150"/></Shape>
          <TextLine ID="l1" TAGREFS="LT1" BASELINE="20 55 380 55" HPOS="20" VPOS="20" WIDTH="360" HEIGHT="50">
            <Shape><Polygon POINTS="20 20 380 20 380 70 20 70"/></Shape>
            <String CONTENT="erste Zeile" HPOS="20" VPOS="20" WIDTH="360" HEIGHT="50"/>
          </TextLine>
          <TextLine ID="l2" BASELINE="380,125 20,125" HPOS="20" VPOS="90" WIDTH="360" HEIGHT="50">
            <String ID="s1" CONTENT="zwei" WC="0.5"/>
            <SP/>
            <String ID="s2" CONTENT="Zei" WC="1.0"/>
            <HYP CONTENT="\u00ad"/>
          </TextLine>
          <TextLine ID="l3" HPOS="20" VPOS="200" WIDTH="100" HEIGHT="40">
            <String CONTENT=""/>
          </TextLine>
        </TextBlock>
      </PrintSpace>
    </Page>
  </Layout>
</alto>
"""

# A newspaper: tenths of a millimetre, a lone y as baseline, prefix, OCRProcessing.
ALTO_2 = """\
<?xml version="1.0" encoding="ISO-8859-1"?>
<a:alto xmlns:a="http://www.loc.gov/standards/alto/ns-v2#" xmlns:xlink="http://www.w3.org/1999/xlink">
  <a:Description>
    <a:MeasurementUnit>mm10</a:MeasurementUnit>
    <a:sourceImageInformation>
      <a:fileName>file:///D:/in/page1.tif</a:fileName>
    </a:sourceImageInformation>
    <a:OCRProcessing ID="OCR1">
      <a:ocrProcessingStep>
        <a:processingSoftware><a:softwareName>Caf\u00e9 OCR</a:softwareName></a:processingSoftware>
      </a:ocrProcessingStep>
    </a:OCRProcessing>
  </a:Description>
  <a:Styles/>
  <a:Layout>
    <a:Page ID="P1" HEIGHT="600" WIDTH="800" PHYSICAL_IMG_NR="1">
      <a:PrintSpace HEIGHT="600" WIDTH="800" HPOS="0" VPOS="0">
        <a:TextBlock ID="b1" HEIGHT="280" WIDTH="760" HPOS="20" VPOS="20">
          <a:TextLine ID="l1" HEIGHT="100" WIDTH="720" HPOS="40" VPOS="40" BASELINE="110">
            <a:String ID="S1" HEIGHT="100" WIDTH="300" HPOS="40" VPOS="40" CONTENT="alt" WC="0.4" CC="0 9 0"/>
          </a:TextLine>
        </a:TextBlock>
      </a:PrintSpace>
    </a:Page>
  </a:Layout>
</a:alto>
"""

HOCR = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title></title>
  <meta http-equiv="Content-Type" content="text/html;charset=utf-8"/>
  <meta name="ocr-system" content="tesseract 5"/>
  <meta name="ocr-capabilities" content="ocr_page ocr_carea ocr_par ocr_line"/>
 </head>
 <body>
  <div class="ocr_page" id="page_1" title='image "/tmp/a;b/page1.png"; bbox 0 0 400 300; ppageno 0'>
   <div class="ocr_carea" id="block_1" title="bbox 10 10 390 150">
    <p class="ocr_par" id="par_1" lang="deu" title="bbox 10 10 390 150">
     <span class="ocr_line" id="line_1" title="bbox 20 20 380 70; baseline 0.01 -15; x_size 30">
      <span class="ocrx_word" id="word_1" title="bbox 20 20 100 70; x_wconf 90">erste</span>
      <span class="ocrx_word" id="word_2" title="bbox 110 20 200 70; x_wconf 70"><strong>Zei&szlig;le</strong></span>
     </span>
     <span class="ocr_header" id="line_2" title="bbox 20 90 380 140"></span>
    </p>
   </div>
  </div>
  <script src="x.js"></script>
 </body>
</html>
"""

FILES = {"page2013": PAGE_2013, "page2019": PAGE_2019, "alto4": ALTO_4, "alto2": ALTO_2, "hocr": HOCR}


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a page file in the encoding that it declares."""

    def write(text: str, name: str = "page1.xml") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode("latin-1" if "ISO-8859-1" in text[:60] else "utf-8"))
        return path

    return write


def spoken(text: str, start: float = 0.0, width: float = 10.0, sure: float = 0.9) -> Transcript:
    """Make a transcript whose characters are all of one width, in columns."""
    characters = [Word(c, start + i * width, start + (i + 1) * width, sure) for i, c in enumerate(text)]
    words, position = [], 0
    for word in text.split():
        position = text.index(word, position)
        words.append(Word(word, start + position * width, start + (position + len(word)) * width, sure))
        position += len(word)
    return Transcript(text, words, sure, characters=characters)
