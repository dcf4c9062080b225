using System.Buffers;

namespace DistTrain.Ingest;

/// <summary>
/// JPEG files (ITU-T T.81): 8 bits a sample, Huffman coded, sequential (baseline and extended) and progressive, restart markers, all whole sampling
/// ratios; grey, YCbCr, RGB, CMYK and YCCK. Not supported, and refused by name: arithmetic coding, lossless and hierarchical files, 12 bits, heights
/// given behind the first scan. The working memory of a thread (30 KB of tables) is kept with it.
/// </summary>
internal sealed unsafe class JpegDecoder
{
    // What an encoder can make use of is below 10 scans a component; more would only make the decoder spend time.
    private const int MaximumScanCount = 100;
    private const int PlaneSlack = 128;

    [ThreadStatic]
    private static JpegDecoder? t_decoder;

    private readonly JpegFrame _frame = new();
    private readonly JpegTables _tables = new();
    private readonly JpegScan _scan = new();
    private SourceLocation _source;
    private byte[]? _planes;
    private short[]? _coefficients;
    private int _restartInterval, _scanCount, _adobeTransform, _wantedChannels;
    private bool _hasFrame, _hasJfif;
    private JpegColourSpace _space;
    private long _pixelLimit;

    internal static ImageInfo ReadInfo(ReadOnlySpan<byte> encoded, in SourceLocation source)
    {
        JpegDecoder decoder = t_decoder ??= new JpegDecoder();
        decoder.Begin(source, new ImageDecodeOptions(MaximumPixelCount: long.MaxValue));
        decoder.ReadSegments(encoded, onlyHeader: true);
        return new ImageInfo(ImageFormat.Jpeg, decoder._frame.Width, decoder._frame.Height, decoder._frame.ComponentCount == 1 ? 1 : 3);
    }

    internal static DecodedImage Decode(ReadOnlySpan<byte> encoded, in ImageDecodeOptions options, in SourceLocation source)
    {
        JpegDecoder decoder = t_decoder ??= new JpegDecoder();
        try
        {
            decoder.Begin(source, options);
            decoder.ReadSegments(encoded, onlyHeader: false);
            return decoder.Finish(options);
        }
        finally
        {
            decoder.ReturnMemory();
        }
    }

    private void Begin(in SourceLocation source, in ImageDecodeOptions options)
    {
        _source = source;
        _tables.Clear();
        _restartInterval = _scanCount = 0;
        _adobeTransform = -1;
        _wantedChannels = options.Channels;
        _pixelLimit = options.PixelLimit;
        _hasFrame = _hasJfif = false;
    }

    // Ends at the end marker, or behind the frame header if that is all that is wanted.
    private void ReadSegments(ReadOnlySpan<byte> encoded, bool onlyHeader)
    {
        int position = 2;
        while (true)
        {
            int at = FindMarker(encoded, position), marker = encoded[at + 1];
            if (marker == 0xd9)
            {
                CheckComplete(at);
                return;
            }
            int length = at + 4 <= encoded.Length ? (encoded[at + 2] << 8) | encoded[at + 3] : 0;
            if (length < 2 || at + 2 + length > encoded.Length)
                throw ImageFault.At(_source, at, $"segment {marker:x2} of {length} bytes passes the end of the image at {encoded.Length}");
            ReadOnlySpan<byte> segment = encoded.Slice(at + 4, length - 2);
            position = at + 2 + length;
            ReadSegment(marker, segment, at);
            if (onlyHeader && _hasFrame) return;
            if (marker == 0xda) position = ReadScan(encoded, segment, at, position);
        }
    }

    // Bytes between segments, which some writers leave, are passed over; fill bytes of 0xff may stand before a marker.
    private int FindMarker(ReadOnlySpan<byte> encoded, int position)
    {
        while (true)
        {
            int found = position < encoded.Length ? encoded[position..].IndexOf((byte)0xff) : -1;
            int at = position + found;
            if (found < 0 || at + 1 >= encoded.Length) throw ImageFault.At(_source, encoded.Length, "the image is cut short: no end marker (FFD9)");
            byte next = encoded[at + 1];
            if (next is not (0 or 0xff or 1 or (>= 0xd0 and <= 0xd8))) return at;
            position = next == 0xff ? at + 1 : at + 2;
        }
    }

    private void ReadSegment(int marker, ReadOnlySpan<byte> segment, int at)
    {
        switch (marker)
        {
            case 0xc0 or 0xc1 or 0xc2:
                if (_hasFrame) throw ImageFault.At(_source, at, "a second frame header; hierarchical files are not supported");
                _frame.Read(segment, marker == 0xc2, at, _source);
                ImageFault.CheckSize(_source, at, _frame.Width, _frame.Height, _pixelLimit);
                _hasFrame = true;
                break;
            case 0xc4:
                _tables.ReadHuffman(segment, at, _source);
                break;
            case 0xdb:
                _tables.ReadQuantisation(segment, at, _source);
                break;
            case 0xdd:
                if (segment.Length < 2) throw ImageFault.At(_source, at, "a restart interval without a value");
                _restartInterval = (segment[0] << 8) | segment[1];
                break;
            case 0xe0:
                _hasJfif |= segment.StartsWith("JFIF\0"u8);
                break;
            case 0xee:
                if (segment.Length >= 12 && segment.StartsWith("Adobe"u8)) _adobeTransform = segment[11];
                break;
            case 0xc3 or (>= 0xc5 and <= 0xcf) or 0xdc or 0xde or 0xdf or 0xf7:
                throw ImageFault.At(_source, at, $"marker {marker:x2}: arithmetic coding, lossless and hierarchical files are not supported");
        }
    }

    private int ReadScan(ReadOnlySpan<byte> encoded, ReadOnlySpan<byte> segment, int at, int position)
    {
        if (!_hasFrame) throw ImageFault.At(_source, at, "a scan before the frame header");
        if (_scanCount++ == MaximumScanCount) throw ImageFault.At(_source, at, $"more than {MaximumScanCount} scans");
        _scan.Read(segment, _frame, _tables, at, _source);
        TakeMemory(at, encoded.Length);
        fixed (byte* planes = _planes)
        fixed (short* coefficients = _coefficients)
        {
            return _scan.Decode(encoded, position, _restartInterval, planes, coefficients, _source);
        }
    }

    private void TakeMemory(int at, int encodedLength)
    {
        if (_planes is not null) return;
        _frame.CheckMemory(at, _source);
        // Every block that is not padding takes at least one bit (progressive) or two: what can't be in the bytes is refused before memory is taken.
        if (_frame.BlockCount * (_frame.IsProgressive ? 1 : 2) > 8L * encodedLength)
            throw ImageFault.At(_source, at, $"{_frame.Width} x {_frame.Height} pixels can't be in an image of {encodedLength} bytes");
        _space = ColourSpace();
        for (int i = 1; i < _frame.ComponentCount; i++) _frame.Components[i].IsWanted = !(_wantedChannels == 1 && _space == JpegColourSpace.YCbCr);
        _planes = ArrayPool<byte>.Shared.Rent(_frame.SampleCount + PlaneSlack);
        if (!_frame.IsProgressive) return;
        _coefficients = ArrayPool<short>.Shared.Rent(_frame.SampleCount);
        _coefficients.AsSpan(0, _frame.SampleCount).Clear();
    }

    private void CheckComplete(int at)
    {
        if (!_hasFrame) throw ImageFault.At(_source, at, "the image ends without a frame");
        for (int i = 0; i < _frame.ComponentCount; i++)
        {
            if (!_frame.Components[i].IsDecoded) throw ImageFault.At(_source, at, $"the image ends before component {i} of {_frame.ComponentCount}");
        }
    }

    private DecodedImage Finish(in ImageDecodeOptions options)
    {
        bool isFirstPlane = _space == JpegColourSpace.Grey || (_space == JpegColourSpace.YCbCr && _wantedChannels == 1);
        DecodedImage image = options.Memory.Rent(_frame.Height, _frame.Width, isFirstPlane ? 1 : 3);
        fixed (byte* planes = _planes)
        fixed (short* coefficients = _coefficients)
        {
            if (_frame.IsProgressive) JpegScan.Reconstruct(_frame, planes, coefficients);
            JpegOutput.Write(_frame, _space, _adobeTransform >= 0, planes, image);
        }
        return ImageChannels.Convert(image, options);
    }

    // Adobe's marker says it; without one, three components are YCbCr unless they are named R, G and B.
    private JpegColourSpace ColourSpace() => _frame.ComponentCount switch
    {
        1 => JpegColourSpace.Grey,
        4 => _adobeTransform == 2 ? JpegColourSpace.Ycck : JpegColourSpace.Cmyk,
        _ when _adobeTransform == 0 && !_hasJfif => JpegColourSpace.Rgb,
        _ when _adobeTransform < 0 && !_hasJfif && _frame.Components is [{ Identifier: 'R' }, { Identifier: 'G' }, { Identifier: 'B' }, ..] => JpegColourSpace.Rgb,
        _ => JpegColourSpace.YCbCr,
    };

    private void ReturnMemory()
    {
        if (_planes is not null) ArrayPool<byte>.Shared.Return(_planes);
        if (_coefficients is not null) ArrayPool<short>.Shared.Return(_coefficients);
        _planes = null;
        _coefficients = null;
    }
}
