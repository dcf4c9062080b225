using System.Runtime.CompilerServices;

namespace DistTrain.Ingest;

/// <summary>One scan of a JPEG file: its header (T.81, B.2.3) and the entropy-coded data behind it.</summary>
internal sealed unsafe class JpegScan
{
    private readonly JpegComponent[] _components = new JpegComponent[4];
    private readonly JpegHuffmanTable[] _dc = new JpegHuffmanTable[4], _ac = new JpegHuffmanTable[4];
    private int _componentCount, _first, _last, _high, _low, _endRun;
    private JpegFrame _frame = null!;

    /// <summary>Reads the header behind the marker at <paramref name="at"/> and makes ready.</summary>
    internal void Read(ReadOnlySpan<byte> segment, JpegFrame frame, JpegTables tables, int at, in SourceLocation source)
    {
        _frame = frame;
        _componentCount = segment.Length > 0 ? segment[0] : 0;
        if (_componentCount is < 1 or > 4 || segment.Length < 4 + (2 * _componentCount))
            throw ImageFault.At(source, at, $"a scan header of {segment.Length} bytes for {_componentCount} components");
        _first = segment[1 + (2 * _componentCount)];
        _last = segment[2 + (2 * _componentCount)];
        _high = segment[3 + (2 * _componentCount)] >> 4;
        _low = segment[3 + (2 * _componentCount)] & 15;
        CheckBand(at, source);
        int blocks = 0;
        for (int i = 0; i < _componentCount; i++)
        {
            JpegComponent component = _components[i] = Find(segment[1 + (2 * i)], i, at, source);
            int selector = segment[2 + (2 * i)];
            bool needsDc = _first == 0 && _high == 0, needsAc = _last > 0;
            if (selector >> 4 > 3 || (selector & 15) > 3) throw ImageFault.At(source, at, $"Huffman tables {selector:x2}; 0 to 3 were expected");
            _dc[i] = tables.Dc[selector >> 4];
            _ac[i] = tables.Ac[selector & 15];
            if ((needsDc && !_dc[i].IsDefined) || (needsAc && !_ac[i].IsDefined))
                throw ImageFault.At(source, at, $"a scan uses Huffman tables {selector:x2}, which are not defined");
            if (!component.IsDecoded) LatchQuantisation(component, tables, at, source);
            blocks += component.HorizontalSampling * component.VerticalSampling;
        }
        if (_componentCount > 1 && blocks > 10) throw ImageFault.At(source, at, $"{blocks} blocks in a coded unit; at most 10 are allowed");
    }

    private void CheckBand(int at, in SourceLocation source)
    {
        bool isValid = !_frame.IsProgressive
            ? _first == 0 && _last == 63 && _high == 0 && _low == 0
            : _last <= 63 && _low <= 13 && (_high == 0 || _high == _low + 1) && (_first == 0 ? _last == 0 : _last >= _first && _componentCount == 1);
        if (!isValid) throw ImageFault.At(source, at, $"a scan of coefficients {_first} to {_last}, bits {_high} to {_low}, is not allowed here");
    }

    private JpegComponent Find(int identifier, int before, int at, in SourceLocation source)
    {
        for (int i = 0; i < _frame.ComponentCount; i++)
        {
            JpegComponent component = _frame.Components[i];
            if (component.Identifier == identifier && !_components.AsSpan(0, before).Contains(component)) return component;
        }
        throw ImageFault.At(source, at, $"a scan of component {identifier}, which the frame does not have, or twice");
    }

    // The tables may be redefined between scans: those at a component's first scan are its own (T.81, B.2.4.1).
    private static void LatchQuantisation(JpegComponent component, JpegTables tables, int at, in SourceLocation source)
    {
        if (!tables.IsQuantisationDefined[component.QuantisationTable])
            throw ImageFault.At(source, at, $"quantisation table {component.QuantisationTable} is not defined");
        tables.Quantisation[component.QuantisationTable].CopyTo(component.Quantisation, 0);
        component.IsDecoded = true;
    }

    /// <summary>Decodes the scan's data, which begins at <paramref name="position"/>.</summary>
    /// <param name="encoded">The file.</param>
    /// <param name="position">First byte behind the header.</param>
    /// <param name="restartInterval">Coded units between restart markers; 0: none.</param>
    /// <param name="planes">Samples of all components (sequential frames).</param>
    /// <param name="coefficients">Coefficients of all components (progressive frames).</param>
    /// <param name="source">For errors.</param>
    /// <returns>Where the data ended: at or before the next marker.</returns>
    internal int Decode(ReadOnlySpan<byte> encoded, int position, int restartInterval, byte* planes, short* coefficients, in SourceLocation source)
    {
        JpegBitReader bits = new(encoded, position);
        Reset();
        bool isSingle = _componentCount == 1;
        int wide = isSingle ? _components[0].BlocksWide : _frame.UnitsWide, high = isSingle ? _components[0].BlocksHigh : _frame.UnitsHigh;
        int untilRestart = restartInterval, restarts = 0;
        for (int y = 0; y < high; y++)
        {
            for (int x = 0; x < wide; x++)
            {
                if (restartInterval > 0 && untilRestart-- == 0)
                {
                    if (!bits.TryRestart(restarts++ & 7))
                        throw ImageFault.At(source, bits.Position, $"no restart marker {(restarts - 1) & 7} after {restartInterval} coded units");
                    Reset();
                    untilRestart = restartInterval - 1;
                }
                bool isCode = isSingle ? DecodeBlock(ref bits, 0, x, y, planes, coefficients) : DecodeUnit(ref bits, x, y, planes, coefficients);
                if (bits.IsOverrun)
                    throw ImageFault.At(source, bits.Position, $"the data of a scan ends in coded unit {((long)y * wide) + x} of {(long)wide * high}");
                if (!isCode)
                    throw ImageFault.At(source, bits.Position, $"bits that are no code, in coded unit {((long)y * wide) + x} of {(long)wide * high}");
            }
        }
        return bits.Position;
    }

    private void Reset()
    {
        _endRun = 0;
        for (int i = 0; i < _componentCount; i++) _components[i].Prediction = 0;
    }

    private bool DecodeUnit(ref JpegBitReader bits, int unitX, int unitY, byte* planes, short* coefficients)
    {
        for (int i = 0; i < _componentCount; i++)
        {
            JpegComponent component = _components[i];
            int horizontal = component.HorizontalSampling, vertical = component.VerticalSampling;
            for (int y = 0; y < vertical; y++)
            {
                for (int x = 0; x < horizontal; x++)
                {
                    if (!DecodeBlock(ref bits, i, (unitX * horizontal) + x, (unitY * vertical) + y, planes, coefficients)) return false;
                }
            }
        }
        return true;
    }

    private bool DecodeBlock(ref JpegBitReader bits, int index, int x, int y, byte* planes, short* coefficients)
    {
        JpegComponent component = _components[index];
        if (!_frame.IsProgressive)
            return DecodeSequential(ref bits, index, component, planes + component.PlaneStart + ((y * 8L * component.Stride) + (x * 8)));
        short* block = coefficients + component.CoefficientStart + (64L * (((long)y * component.PaddedBlocksWide) + x));
        if (_first > 0)
        {
            JpegBand band = new(_first, _last, _low);
            return _high == 0
                ? JpegBlocks.ReadFirstAc(ref bits, _ac[index], band, ref _endRun, block)
                : JpegBlocks.RefineAc(ref bits, _ac[index], band, ref _endRun, block);
        }
        if (_high == 0) return JpegBlocks.ReadFirstDc(ref bits, _dc[index], ref component.Prediction, _low, block);
        JpegBlocks.RefineDc(ref bits, _low, block);
        return true;
    }

    private bool DecodeSequential(ref JpegBitReader bits, int index, JpegComponent component, byte* output)
    {
        Unsafe.SkipInit(out JpegBlock block);
        block = default;
        short* coefficients = (short*)&block;
        bool isCode;
        int last;
        fixed (ushort* quantisation = component.Quantisation)
        {
            isCode = JpegBlocks.ReadSequential(ref bits, _dc[index], _ac[index], ref component.Prediction, quantisation, coefficients, out last);
        }
        if (!component.IsWanted) return isCode;
        if (last == 0) InverseDct.Flat(*coefficients, output, component.Stride);
        else InverseDct.Transform(coefficients, output, component.Stride);
        return isCode;
    }

    /// <summary>Samples of a progressive frame, once all its scans are read.</summary>
    internal static void Reconstruct(JpegFrame frame, byte* planes, short* coefficients)
    {
        for (int i = 0; i < frame.ComponentCount; i++)
        {
            JpegComponent component = frame.Components[i];
            if (!component.IsWanted) continue;
            short* block = coefficients + component.CoefficientStart;
            for (int y = 0; y < component.PaddedBlocksHigh; y++)
            {
                byte* output = planes + component.PlaneStart + (y * 8L * component.Stride);
                for (int x = 0; x < component.PaddedBlocksWide; x++, block += 64, output += 8)
                {
                    for (int k = 0; k < 64; k++) block[k] = (short)(block[k] * component.Quantisation[k]);
                    InverseDct.Transform(block, output, component.Stride);
                }
            }
        }
    }

    [InlineArray(64)]
    private struct JpegBlock
    {
        private short _first;
    }
}
